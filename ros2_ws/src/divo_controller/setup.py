from glob import glob

from setuptools import setup

NAME = "divo_controller"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/config", glob("config/*")),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The DIVO runtime authors",
    maintainer_email="divo@users.noreply.github.com",
    description="Runs an exported DIVO policy as a ROS 2 lifecycle node, behind a safety gate that is always on.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"{NAME} = {NAME}.main:main"]},
)
