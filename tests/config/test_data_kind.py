"""The data section fits the kind of pictures a model takes."""

from gantrain.config import data_kind

FOLDER = {
    "_target_": {
        "unpaired": "gantrain.data.shapes.UnpairedShapes",
        "images": "gantrain.gans.dcgan.DCGAN",  # any class with other parameters serves
    },
    "resolution": 64, "train_images": 8, "dropout": 0.5, "odd": 1,
}  # fmt: skip
CYCLEGAN = {"_target_": "gantrain.gans.cyclegan.CycleGAN"}
DCGAN = {"_target_": "gantrain.gans.dcgan.DCGAN"}


def test_each_model_gets_its_class_and_its_keys() -> None:
    section, dropped, problems = data_kind.match_data(CYCLEGAN, FOLDER)
    assert section["_target_"] == "gantrain.data.shapes.UnpairedShapes" and problems == []
    assert "train_images" in section and "dropout" not in section
    assert section["odd"] == 1  # nobody's key: reported as unknown later
    assert dropped["dropout"] == "CycleGAN trains on images of two domains"
    section, dropped, problems = data_kind.match_data(DCGAN, FOLDER)
    assert section["_target_"] == "gantrain.gans.dcgan.DCGAN" and problems == []
    assert "dropout" in section and "train_images" not in section
    assert dropped["train_images"] == "DCGAN trains on single images"


def test_the_wrong_kind_is_refused() -> None:
    shapes = {"_target_": "gantrain.data.shapes.UnpairedShapes"}
    [problem] = data_kind.match_data(DCGAN, shapes)[2]
    assert "UnpairedShapes holds images of two domains" in problem
    assert "DCGAN trains on single images: use data=" in problem
    [problem] = data_kind.match_data(DCGAN, {"_target_": {"unpaired": shapes["_target_"]}})[2]
    assert "no images for DCGAN" in problem


def test_a_plugin_without_a_word_takes_two_domains() -> None:
    assert data_kind.match_data({"_target_": "nowhere.GAN"}, FOLDER)[0]["_target_"].endswith(
        "Shapes"
    )
    target = {"_target_": "nowhere.Data", "x": 1}
    assert data_kind.match_data(DCGAN, target) == (target, {}, [])  # what it holds, only it knows
