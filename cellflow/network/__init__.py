"""Image tensor to flow tensor: Cellpose's U-Net, its weights, and the model folder."""
