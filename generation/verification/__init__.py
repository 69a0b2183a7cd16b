"""Whether a passage carries a sentence, told without a second model: small pure features and one logistic function."""
