"""The sparse CPU engine: compiled loops over the kept weights, for chains of convolutions and dense layers."""
