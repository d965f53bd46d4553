from wsss_lib.pipeline.bench import Bench, measure


def test_every_measurement_gives_a_rate():
    asked = Bench(size=(48, 64), batch_sizes=(1, 2), crop=41, train_batch=2, repeats=1)
    rows = measure(asked)["fp32"]
    assert [row["pairs"] for row in rows["advcam"]] == [1, 2]
    for row in rows["advcam"]:
        assert row["pair_steps_per_s"] > 0 and row["tflops"] > 0
    assert rows["amn"]["images_per_s"] > 0 and rows["deeplab"]["images_per_s"] > 0
