"""Where clips and their labels come from: folders of videos, CAV-MAE's lists, joined sources."""
