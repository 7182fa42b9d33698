"""The asynchronous REST client: retries, pages, and names to ids."""
