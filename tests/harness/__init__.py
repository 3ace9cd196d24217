"""What the black-box tests share: packets, brokers, scraping, results. Standard library only."""
