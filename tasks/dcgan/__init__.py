"""Class-conditional DCGAN: pictures of the data's classes, to train classifiers on."""
