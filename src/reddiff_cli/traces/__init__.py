"""What a picture shows of the JPEG file that it was before it was saved again."""
