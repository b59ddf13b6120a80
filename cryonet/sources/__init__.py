"""Where scenes come from: one file a source, all ending in canonical names and one grid."""
