"""Guides written with the help of the model: sites in groups, plates, MAP estimates."""

from .easyguide import EasyGuide as EasyGuide
from .easyguide import easy_guide as easy_guide
from .group import Group as Group
