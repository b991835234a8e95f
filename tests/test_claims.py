"""Every sampler holds its claim."""

import json

import pytest
from selection import samplers


@pytest.mark.parametrize("sampler", samplers())
def test_the_claim_holds(certificate, sampler):
    cert = certificate(sampler.name)
    assert cert.verdict == "holds", cert.reasons
    assert (cert.proved, cert.proof.cold) == (cert.claimed, cert.claimed_cold)
    assert cert.proof.violated
    assert cert.killed + len(cert.free) + len(cert.survivors) == cert.mutants
    assert json.loads(json.dumps(cert.to_json(), allow_nan=True))["verdict"] == "holds"
