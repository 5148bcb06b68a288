if __name__ == "__main__":  # workers import this module again, and should not find themselves larger by it
    import asyncio

    from tests.benchmarks.run import run

    asyncio.run(run())
