"""What a job is: this is the place for your own."""


def work(text: str) -> str:
    return text.upper()
