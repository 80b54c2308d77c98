"""What is made of a result: numbers, sentences, figures, page, paper."""
