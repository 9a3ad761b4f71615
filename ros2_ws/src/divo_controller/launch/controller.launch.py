"""Start the DIVO controller node: ros2 launch divo_controller controller.launch.py bundle:=/path/to/bundle."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription

OVERRIDES = {
    "bundle": str,
    "policy": str,
    "autostart": "true".__eq__,
    "shadow": "true".__eq__,
    "use_sim_time": "true".__eq__,
}
"""Arguments that win over the parameter file where they are given, and how their text becomes a value."""


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; an empty one leaves the parameter file's value."""
    default_parameters = PathJoinSubstitution([FindPackageShare("divo_controller"), "config", "arm_reach.yaml"])
    arguments = [
        DeclareLaunchArgument("bundle", default_value="", description="Bundle folder written by `make export`."),
        DeclareLaunchArgument(
            "policy",
            default_value="",
            description="Name of a policy in the bundle, such as actor or sampler, or auto.",
        ),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node and all its topics."),
        DeclareLaunchArgument("params_file", default_value=default_parameters, description="Parameter file (YAML)."),
        DeclareLaunchArgument(
            "autostart",
            default_value="",
            choices=["", "true", "false"],
            description="Configure at once and activate as soon as every input is fresh.",
        ),
        DeclareLaunchArgument(
            "shadow",
            default_value="",
            choices=["", "true", "false"],
            description="Publish what it would do, and never command.",
        ),
        DeclareLaunchArgument(
            "use_sim_time", default_value="", choices=["", "true", "false"], description="Take time from /clock."
        ),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal."),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_make_node)])


def _make_node(context: LaunchContext) -> list[LifecycleNode]:
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    overrides = {name: OVERRIDES[name](text) for name, text in given.items() if text}
    node = LifecycleNode(
        package="divo_controller",
        executable="divo_controller",
        name="divo_controller",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), *([overrides] if overrides else [])],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=True,
    )
    return [node]
