"""An application that the product does not have: how old is the person in a photo?"""
