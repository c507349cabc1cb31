"""Math questions: generated arithmetic, reasoning-gym, GSM8K, MATH, NuminaMath, DeepScaleR."""
