"""Why a model says what it says: what each input layer adds, and whether to believe that."""
