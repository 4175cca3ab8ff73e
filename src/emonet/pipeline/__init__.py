"""From images to face crops: read images, detect faces, crop them."""
