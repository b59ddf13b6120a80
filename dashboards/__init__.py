"""The dashboard: arranges what `cryonet` computes, and computes nothing itself."""
