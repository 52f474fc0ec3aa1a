"""Towards a platform above: the registration kept, what it is answered, told and given."""
