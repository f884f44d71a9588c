import json

from eventkernel_grpc import ChannelSettings


def test_only_unavailable_is_retried() -> None:
    method = json.loads(ChannelSettings(wait_for_ready=True).service_config())["methodConfig"][0]
    assert method["name"] == [{}]
    assert method["waitForReady"] is True
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


def test_one_attempt_means_no_retry_policy() -> None:
    config = json.loads(ChannelSettings(attempts_max=1, round_robin=True).service_config())
    assert "retryPolicy" not in config["methodConfig"][0]
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
