"""Compares the identity construction (He et al. 2015, Sec. 1) with training from scratch, and continues training from it."""

from collections.abc import Iterator

from resnet_lab.analysis.catalogue.identity import Continued, CurvePoint, Errors, Identity
from resnet_lab.analysis.construction import Batch, agreement, batch_noise, construct, deepened, ready_to_train
from resnet_lab.analysis.registry import read
from resnet_lab.analysis.subject import Subject, require_finite, subset
from resnet_lab.config.schema import RunConfig
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.images import Images
from resnet_lab.data.load import training_batches
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import ResNet
from resnet_lab.record.store import RunFolder
from resnet_lab.train.evaluate import evaluate

FAST_IMAGES = 1_000
MEASURE_BATCHES, NOISE_BATCHES = 50, 10


def identity(shallow: Subject, depth: int, scratch: Subject | None = None, num_images: int | None = None) -> Identity:
    """Construct the network of `depth` layers, and compare it with `shallow` and with `scratch`, the same depth trained by SGD.

    Logits are compared on all training and test images, or on `num_images` of each. Raises ConfigError if there is no
    construction of this depth, see `construct`, and if logits are not finite.
    """
    train, test = subset(shallow.data.train, num_images, "train"), subset(shallow.data.test, num_images, "test")
    deep = construct(shallow.net, shallow.config, depth)
    on_train, on_test = (agreement(shallow.net, deep, clean_batches(images, shallow.data.mean)) for images in (train, test))
    require_finite((on_train.max_difference, on_test.max_difference), shallow, "logits")
    return Identity(
        step=shallow.step,
        depth=depth,
        train_images=len(train),
        test_images=len(test),
        max_difference=max(on_train.max_difference, on_test.max_difference),
        changed_predictions=on_train.changed + on_test.changed,
        shallow=Errors(train=on_train.wrong_left / len(train), test=on_test.wrong_left / len(test)),
        constructed=Errors(train=on_train.wrong_right / len(train), test=on_test.wrong_right / len(test)),
        scratch=None if scratch is None else _errors(scratch, train, test),
        scratch_step=None if scratch is None else scratch.step,
        noise=batch_noise(
            shallow.net, starting_point(shallow, depth), _batches(shallow, MEASURE_BATCHES, MEASURE_BATCHES + NOISE_BATCHES)
        ),
    )


def saved(shallow: Subject, depth: int, scratch: Subject | None = None, num_images: int | None = None) -> Identity | None:
    """The saved result of `identity` with the same arguments, if any; the networks are determined by run and step."""
    sizes = [min(num_images or len(images), len(images)) for images in (shallow.data.train, shallow.data.test)]
    wanted = (shallow.step, depth, *sizes, None if scratch is None else scratch.step)
    for result in read(shallow.folder, shallow.config.model)[0]:
        if isinstance(result, Identity):
            key = (result.step, result.depth, result.train_images, result.test_images, result.scratch_step)
            if key == wanted:
                return result
    return None


def with_earlier_training(result: Identity, shallow: Subject) -> Identity:
    """The result with the training that a saved one of the same step and depth has continued; this one will replace that."""
    for other in read(shallow.folder, shallow.config.model)[0]:
        if isinstance(other, Identity) and other.file_name == result.file_name:
            return result.model_copy(update={"continued": other.continued})
    return result


def starting_point(shallow: Subject, depth: int) -> ResNet:
    """The construction, ready for training mode, with BN statistics from the first training batches of the shallower run."""
    deep = construct(shallow.net, shallow.config, depth)
    return ready_to_train(deep, shallow.net, _batches(shallow, 0, MEASURE_BATCHES))


def continuation(config: RunConfig, depth: int, steps: int) -> RunConfig:
    """The config of the deeper network, trained for `steps` steps; milestones are scaled in proportion."""
    settings = deepened(config, depth).model_dump(mode="json")
    recipe = settings["recipe"]
    schedule = recipe["schedule"]
    if schedule["name"] == "milestones":
        scaled = {round(milestone * steps / recipe["steps"]) for milestone in schedule["milestones"]}
        schedule["milestones"] = sorted(milestone for milestone in scaled if 0 < milestone < steps)
    recipe["steps"] = steps
    settings["evaluation"]["every"] = max(1, min(settings["evaluation"]["every"], steps // 5))
    settings["log"]["keep"] = []
    return RunConfig.model_validate(settings)


def continuation_folder(shallow: Subject, depth: int, steps: int) -> RunFolder:
    """The folder of the run that continues training from the construction, under the shallower run's `analysis/`."""
    return shallow.folder.continued(depth, shallow.step, steps)


def with_continuation(result: Identity, folder: RunFolder) -> Identity:
    """The result with the errors recorded so far in the training continued from the construction."""
    run = folder.read()
    curve = tuple(CurvePoint(step=record.step, train=record.train_error, test=record.test_error) for record in run.evaluations)
    return result.model_copy(update={"continued": Continued(steps=run.config.recipe.steps, step=run.step, curve=curve)})


def _batches(subject: Subject, first: int, end: int) -> Iterator[Batch]:
    batches = training_batches(subject.data, subject.config.recipe.batch_size, subject.config.seed)
    return (batches(step) for step in range(first, end))


def _errors(subject: Subject, train: Images, test: Images) -> Errors:
    """Clean errors on these images in fp32, one view each: those that the run has recorded, if they are such, or measured now."""
    config = subject.config
    is_alike = config.compute.precision == "fp32" and config.evaluation.final_test_views == 1
    if is_alike and (len(train), len(test)) == (len(subject.data.train), len(subject.data.test)):
        for record in subject.folder.read().evaluations:
            if (record.step, record.train_images) == (subject.step, len(train)):
                return Errors(train=record.train_error, test=record.test_error)
    net = folded(subject.net)
    on_train, on_test = (evaluate(net, clean_batches(images, subject.data.mean))[0] for images in (train, test))
    return Errors(train=on_train, test=on_test)
