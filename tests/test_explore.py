"""The explorer's picture is a function of its five choices; what cannot be is a sentence; knobs show the same."""

import io

import numpy as np
import pytest

import diffnum as dn
from diffnum.lab import explore

VP, LOG_SNR = dn.VP(), dn.grid.log_snr


@pytest.fixture(scope="module")
def heaps():
    return explore.heaps()


@pytest.fixture(scope="module")
def gaussian():
    return dn.Gaussian.power_law(16)


def png(fig):
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=40)
    return buffer.getvalue()


def test_the_error_on_a_gaussian_is_the_exact_distance(gaussian):
    seen = explore.look(gaussian, VP, LOG_SNR, dn.solvers.dpmpp_2m, 8)
    assert seen.error == dn.w2(dn.compile("dpmpp_2m", LOG_SNR(VP, 8)), gaussian)
    # per mode it is the same number: the mean is exact here, so that only deviations differ
    assert np.sqrt((seen.modes**2).sum()) == pytest.approx(seen.error, rel=1e-10)


def test_modes_off_a_gaussian_add_up_to_the_error(heaps):
    seen = explore.look(heaps, VP, LOG_SNR, dn.solvers.heun, 8)
    assert np.sqrt((seen.modes**2).sum()) == pytest.approx(seen.error, rel=1e-10)


def test_the_run_comes_to_the_exact_flow_as_the_budget_grows(heaps):
    ends = explore.look(heaps, VP, LOG_SNR, dn.solvers.dpmpp_2m, 60).ends
    few = explore.look(heaps, VP, LOG_SNR, dn.solvers.dpmpp_2m, 6).ends
    assert abs(ends[0] - ends[1]).max() < 0.02 < abs(few[0] - few[1]).max()
    np.testing.assert_array_equal(ends[1], few[1])


def test_paths_and_the_exact_flow_have_one_start_and_the_end_of_the_data(heaps):
    seen = explore.look(heaps, dn.EDM(), dn.grid.edm, dn.solvers.heun, 39)
    np.testing.assert_allclose(seen.paths[0], seen.exact[0], rtol=1e-12)
    assert abs(seen.paths[-1] - seen.exact[-1]).max() < 0.1


def test_a_start_at_pure_noise_has_an_exact_flow_too(heaps, gaussian):
    for target in (heaps, gaussian):
        seen = explore.look(target, dn.Flow(), dn.grid.uniform, dn.solvers.euler, 40)
        assert seen.plan.start.pure_noise
        np.testing.assert_allclose(seen.paths[0], seen.exact[0], rtol=1e-12)


def test_the_same_choices_make_the_same_picture(gaussian):
    choices = (gaussian, VP, LOG_SNR, dn.solvers.dpmpp_2m, 8)
    assert png(explore.draw(*choices)) == png(explore.draw(*choices))


def test_each_choice_alone_changes_what_is_seen(gaussian):
    base = (gaussian, VP, LOG_SNR, dn.solvers.dpmpp_2m, 8)
    errors = {explore.look(*base).error}
    for k, other in enumerate((dn.Gaussian.power_law(9), dn.VE(), dn.grid.uniform, dn.solvers.ddim, 9)):
        errors.add(explore.look(*base[:k], other, *base[k + 1 :]).error)
    assert len(errors) == 6


def test_images_are_shown_where_points_are_images(gaussian):
    fig = explore.draw(gaussian, VP, LOG_SNR, dn.solvers.ddpm_ancestral, 6, (4, 4, 1))
    assert len(fig.axes[3].get_images()) == 1
    assert "noise drawn" in fig.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("choices", "said"),
    [((VP, LOG_SNR, dn.solvers.rk4, 3), "use nfe >= 4"), ((dn.Cosine(), LOG_SNR, dn.solvers.ddim, 8), "start at alpha"),
     ((VP, LOG_SNR, dn.solvers.ddpm_ancestral, 8), "choose a Gaussian target")],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(heaps, choices, said):
    with pytest.raises(ValueError, match=said) as refusal:
        explore.draw(heaps, *choices)
    assert "\n" not in str(refusal.value)


def test_turning_a_knob_changes_the_image_and_a_refusal_is_shown_not_raised(heaps, gaussian):
    laws = {"heaps": (heaps, None), "gaussian": (gaussian, (4, 4, 1))}
    box = explore.explore(laws, sampler=dn.solvers.dpmpp_2m)
    row, sentence, image = box.children
    knobs = {knob.description: knob for knob in row.children}
    assert list(knobs) == ["target", "process", "grid", "sampler", "budget"]
    first = bytes(image.value)
    assert first.startswith(b"\x89PNG") and not sentence.value
    knobs["sampler"].value = dn.solvers.ddpm_ancestral
    assert "choose a Gaussian target" in sentence.value and image.layout.visibility == "hidden"
    knobs["target"].value = laws["gaussian"]
    assert not sentence.value and image.layout.visibility == "visible" and bytes(image.value) != first
