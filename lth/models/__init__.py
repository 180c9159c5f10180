"""Networks: the model zoo, models of torchvision and of users, initializers, and modules as functions of a vector."""
from lth.models import zoo

__all__ = ['zoo']
