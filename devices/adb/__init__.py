"""Android phones and other machines behind adbd."""
