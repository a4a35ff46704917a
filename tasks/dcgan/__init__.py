"""Class-conditional DCGAN: images of the data's classes, to train classifiers on."""
