import gc

gc.set_threshold(1_000_000)  # what is imported stays: to walk through it each time takes a tenth of the start

from app.cli import main  # noqa: E402

gc.set_threshold(50_000, 20, 100)
main()
