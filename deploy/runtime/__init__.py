"""An opened bundle and the engines that compute its encoders."""
