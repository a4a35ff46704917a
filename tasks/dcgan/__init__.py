"""Class-conditional DCGAN: generates images of the data's classes, to train classifiers on."""
