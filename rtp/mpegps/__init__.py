"""MPEG program streams: ISO/IEC 13818-1 in the profile of GB/T 28181 Annex C."""
