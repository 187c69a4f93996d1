from tracker import data_types as data_types
from tracker import env as env
from tracker import errors as errors
from tracker import plot as plot
from tracker import util as util
from tracker.api.api import Api as Api
from tracker.artifacts.artifact import Artifact as Artifact
from tracker.artifacts.ttl import ArtifactTTL as ArtifactTTL
from tracker.data_types.audio import Audio as Audio
from tracker.data_types.classes import Classes as Classes
from tracker.data_types.eval_table import EvalTable as EvalTable
from tracker.data_types.graph import Graph as Graph
from tracker.data_types.histogram import Histogram as Histogram
from tracker.data_types.html import Html as Html
from tracker.data_types.image import Image as Image
from tracker.data_types.joined_tables import JoinedTable as JoinedTable
from tracker.data_types.joined_tables import PartitionedTable as PartitionedTable
from tracker.data_types.molecule import Molecule as Molecule
from tracker.data_types.object3d import Object3D as Object3D
from tracker.data_types.object3d import box3d as box3d
from tracker.data_types.plotly import Plotly as Plotly
from tracker.data_types.table import Table as Table
from tracker.data_types.video import Video as Video
from tracker.errors import AuthenticationError as AuthenticationError
from tracker.errors import CommError as CommError
from tracker.errors import ConfigError as ConfigError
from tracker.errors import Error as Error
from tracker.errors import UsageError as UsageError
from tracker.plot.custom_chart import plot_table as plot_table
from tracker.plot.custom_chart import visualize as visualize
from tracker.sdk.module import alert as alert
from tracker.sdk.module import define_metric as define_metric
from tracker.sdk.module import finish as finish
from tracker.sdk.module import join as join
from tracker.sdk.module import link_artifact as link_artifact
from tracker.sdk.module import link_model as link_model
from tracker.sdk.module import log as log
from tracker.sdk.module import log_artifact as log_artifact
from tracker.sdk.module import log_code as log_code
from tracker.sdk.module import log_model as log_model
from tracker.sdk.module import mark_preempting as mark_preempting
from tracker.sdk.module import pin_config_keys as pin_config_keys
from tracker.sdk.module import restore as restore
from tracker.sdk.module import save as save
from tracker.sdk.module import unwatch as unwatch
from tracker.sdk.module import use_artifact as use_artifact
from tracker.sdk.module import use_model as use_model
from tracker.sdk.module import watch as watch
from tracker.sdk.process.termlog import termerror as termerror
from tracker.sdk.process.termlog import termlog as termlog
from tracker.sdk.process.termlog import termwarn as termwarn
from tracker.sdk.run.alerts import AlertLevel as AlertLevel
from tracker.sdk.run.config import Config as Config
from tracker.sdk.run.run import Run as Run
from tracker.sdk.run.settings import Settings as Settings
from tracker.sdk.run.summary import Summary
from tracker.sdk.start.attach import attach as _attach  # noqa: F401 - Lightning's
from tracker.sdk.start.attach import attach as attach
from tracker.sdk.start.init import init as init
from tracker.sdk.start.login import login as login
from tracker.sdk.start.setup import ensure_configured as ensure_configured
from tracker.sdk.start.setup import require as require
from tracker.sdk.start.setup import setup as setup
from tracker.sdk.start.setup import teardown as teardown
from tracker.sdk.start.sync_tensorboard import sync_folder as _sync_folder  # noqa: F401 - Api's
from tracker.sdk.sweeps.api import agent as agent
from tracker.sdk.sweeps.api import controller as controller
from tracker.sdk.sweeps.api import sweep as sweep
from tracker.version import __version__ as __version__

# The active run, its config and its summary; see tracker/sdk/module.py.
run: Run | None
config: Config
summary: Summary
