"""Networks: the model zoo, models of torchvision and of users, initializers, and a module as a function of one vector."""
from lth.models import zoo

__all__ = ['zoo']
