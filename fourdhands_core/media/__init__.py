"""Video in and out, drawing, rendering."""
