import resource

from tools.containers import Host, Podman, adapted

LIMITS = {"memlock": 8388608, "nofile": 20000, "nproc": 96365}


def test_an_ordinary_machine_needs_nothing_extra() -> None:
    host = Host(unified_cgroups=True, may_raise_limits=True, has_runc=True, hard_limits=LIMITS)
    assert adapted(host) == Podman(command=("podman",))


def test_hybrid_cgroups_are_hidden_in_a_mount_namespace() -> None:
    host = Host(unified_cgroups=False, may_raise_limits=True, has_runc=True, hard_limits=LIMITS)
    here = adapted(host)
    assert here.command[:2] == ("unshare", "--mount")
    assert here.command[-2:] == ("podman", "--cgroup-manager=cgroupfs")
    assert here.run_options == ("--pids-limit=0",)
    assert here.build_options == ()


def test_limits_stay_under_those_of_a_process_that_may_not_raise_them() -> None:
    limits = {**LIMITS, "memlock": resource.RLIM_INFINITY}
    host = Host(unified_cgroups=True, may_raise_limits=False, has_runc=True, hard_limits=limits)
    assert adapted(host) == Podman(
        command=("podman", "--runtime=runc"),
        run_options=("--ulimit=nofile=20000:20000", "--ulimit=nproc=32768:32768"),
        build_options=("--isolation=chroot",),
    )


def test_the_default_runtime_is_kept_where_there_is_no_other() -> None:
    host = Host(unified_cgroups=True, may_raise_limits=False, has_runc=False, hard_limits=LIMITS)
    assert adapted(host).command == ("podman",)
