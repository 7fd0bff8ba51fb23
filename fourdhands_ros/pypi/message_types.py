"""The message types that the node publishes: compiled ones where they are, and made at run time with ROS 2 from PyPI.

`Hand`, `HandPair`, `HandFaces` (this package's) and `TFMessage` (tf2_msgs') serve `node.create_publisher` everywhere.
In a colcon workspace they are rosidl's own. ROS 2 from PyPI has neither tf2_msgs nor a message generator; there the
types are described to the middleware from their .msg files, under the name and type hash that rosidl would give them.
Such a type moves serialised messages only: publish `bytes` (see `conversion`), subscribe with `create_subscription`
below, or with `raw=True` and `deserialize`.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p, pythonapi
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rclpy.logging import get_logger
from rclpy.serialization import deserialize_message
from rclpy.utilities import get_rmw_implementation_identifier

from fourdhands_core.errors import DependencyError
from fourdhands_core.signals import again

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.qos import QoSProfile
    from rclpy.subscription import Subscription
    from rosbags.typesys.store import Typestore

_PACKAGE = "fourdhands_ros"
_DONOR = "std_msgs/msg/String"
"""An existing type of unbounded size whose callbacks are reused; of them only the size bound is ever called."""

_alive: list[object] = []
"""C structures that ROS keeps pointers to; they live as long as the process."""


def definitions_folder() -> Path:
    """The folder with this package's .msg files: in the source tree, or in `share` of where it is installed."""
    for parent in Path(__file__).resolve().parents:
        for folder in (parent / "msg", parent / "share" / _PACKAGE / "msg"):
            if (folder / "HandPair.msg").is_file():
                return folder
    raise DependencyError(f"HandPair.msg is not found above {Path(__file__).parent}; reinstall {_PACKAGE}")


@functools.cache
def typestore() -> Typestore:
    """rosbags' type store of ROS 2 Jazzy with this package's messages: reads and writes them in bags and as CDR."""
    try:
        from rosbags.typesys import Stores, get_typestore
        from rosbags.typesys.msg import get_types_from_msg
    except ImportError as error:
        raise DependencyError("the package rosbags is not installed; pip install rosbags") from error
    store, types = get_typestore(Stores.ROS2_JAZZY), {}
    for path in sorted(definitions_folder().glob("*.msg")):
        types.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"{_PACKAGE}/msg/{path.stem}"))
    store.register(types)
    return store


def is_compiled(message_type: type) -> bool:
    """True for a type that rosidl compiled, False for one that was made at run time."""
    return not hasattr(message_type, "_runtime_name")


def deserialize_ros(data: bytes, message_type: Any) -> Any:
    """rclpy's deserialize_message for data that may be damaged. Raises ValueError for what is shorter than CDR's header, which
    ends the whole process with some middlewares (rmw_cyclonedds: a segmentation fault), and whatever rclpy raises; a signal
    that comes meanwhile is Asked, of which rclpy makes a TypeError."""
    if len(data) < 4:
        raise ValueError(f"{len(data)} bytes are no message")
    try:
        return deserialize_message(data, message_type)
    except Exception:
        again()
        raise


def deserialize(data: bytes, message_type: Any) -> Any:
    """A serialised message as an object with the message's fields; numbers in arrays are numpy's or array.array."""
    if is_compiled(message_type):
        return deserialize_ros(data, message_type)
    return typestore().deserialize_cdr(data, message_type._runtime_name)


def create_subscription(
    node: Node, message_type: Any, topic: str, callback: Callable[[Any], None], qos: QoSProfile | int
) -> Subscription:
    """`node.create_subscription` that hands `callback` a message object, also where the type was made at run time."""
    if is_compiled(message_type):
        return node.create_subscription(message_type, topic, callback, qos)

    def take(data: Any) -> None:
        callback(deserialize(data, message_type))

    return node.create_subscription(message_type, topic, take, qos, raw=True)


# The C structures of rosidl_runtime_c, rosidl_typesupport_introspection_c and rosidl_typesupport_fastrtps_c.


def _structure(**fields: Any) -> Any:
    """A C structure with these fields in their order."""
    return type("Structure", (ctypes.Structure,), {"_fields_": list(fields.items())})


_POINTERS = "data", "func", "get_type_hash", "get_type_description", "get_type_description_sources"
_TypeSupport = _structure(identifier=c_void_p, **dict.fromkeys(_POINTERS, c_void_p))  # rosidl_message_type_support_t
# message_type_support_callbacks_t
_Callbacks = _structure(namespace=c_char_p, name=c_char_p, functions=c_void_p * 5)
# rosidl_typesupport_introspection_c__MessageMember and MessageMembers
_Member = _structure(
    name=c_char_p,
    type_id=c_uint8,
    string_upper_bound=c_size_t,
    members=c_void_p,
    is_key=c_bool,
    is_array=c_bool,
    array_size=c_size_t,
    is_upper_bound=c_bool,
    offset=c_uint32,
    default_value=c_void_p,
    functions=c_void_p * 6,
)
_Members = _structure(
    namespace=c_char_p,
    name=c_char_p,
    count=c_uint32,
    size_of=c_size_t,
    has_any_key=c_bool,
    members=POINTER(_Member),
    init=c_void_p,
    fini=c_void_p,
)
_TypeHash = _structure(version=c_uint8, value=c_uint8 * 32)  # rosidl_type_hash_t
_String = _structure(data=c_char_p, size=c_size_t, capacity=c_size_t)  # rosidl_runtime_c__String
_Sequence = _structure(data=c_void_p, size=c_size_t, capacity=c_size_t)  # any rosidl_runtime_c__...__Sequence
# rosidl_runtime_c__type_description__FieldType, Field, TypeSource, IndividualTypeDescription, TypeDescription
_FieldType = _structure(type_id=c_uint8, capacity=c_uint64, string_capacity=c_uint64, nested=_String)
_Field = _structure(name=_String, type=_FieldType, default_value=_String)
_TypeSource = _structure(type_name=_String, encoding=_String, contents=_String)
_IndividualDescription = _structure(type_name=_String, fields=_Sequence)
_Description = _structure(type=_IndividualDescription, referenced=_Sequence)


def _string(text: str) -> Any:
    data = text.encode()
    return _String(data, len(data), len(data) + 1)


def _sequence(kind: Any, items: list) -> Any:
    array = (kind * len(items))(*items)
    _alive.append(array)
    return _Sequence(ctypes.addressof(array), len(items), len(items))


_TYPE_IDS = {
    "float32": (1, 10),
    "float64": (2, 11),
    "char": (4, 13),
    "bool": (6, 15),
    "byte": (7, 16),
    "uint8": (8, 3),
    "int8": (9, 2),
    "uint16": (10, 5),
    "int16": (11, 4),
    "uint32": (12, 7),
    "int32": (13, 6),
    "uint64": (14, 9),
    "int64": (15, 8),
    "string": (16, 17),
}
"""Of each basic type: its number in introspection's field types, and in type_description_interfaces/msg/FieldType."""
_NESTED_IDS = (18, 1)
_FIXED, _BOUNDED, _UNBOUNDED = 48, 96, 144
"""What a type description adds to a type's number for an array, a bounded and an unbounded sequence of it."""

_Dispatch = CFUNCTYPE(c_void_p, c_void_p, c_char_p)
_Getter = CFUNCTYPE(c_void_p, c_void_p)
_Create = CFUNCTYPE(c_void_p)

pythonapi.PyCapsule_GetName.restype = c_char_p
pythonapi.PyCapsule_GetName.argtypes = [ctypes.py_object]
pythonapi.PyCapsule_GetPointer.restype = c_void_p
pythonapi.PyCapsule_GetPointer.argtypes = [ctypes.py_object, c_char_p]
pythonapi.PyCapsule_New.restype = ctypes.py_object
pythonapi.PyCapsule_New.argtypes = [c_void_p, c_char_p, c_void_p]


def _compiled_type(name: str) -> type:
    package, _, message = name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), message)


def _type_support(message_type: Any) -> Any:
    if message_type.__class__._TYPE_SUPPORT is None:
        message_type.__class__.__import_type_support__()
    capsule = message_type.__class__._TYPE_SUPPORT
    address = pythonapi.PyCapsule_GetPointer(capsule, pythonapi.PyCapsule_GetName(capsule))
    return _TypeSupport.from_address(address)


def _specific(support: Any, identifier: bytes) -> Any:
    """The type support of one typesupport package (introspection, Fast DDS) behind a general one. Raises DependencyError."""
    address = _Dispatch(support.func)(ctypes.addressof(support), identifier)
    if not address:
        raise DependencyError(f"this ROS has no {identifier.decode()}; build this package with colcon instead")
    return _TypeSupport.from_address(address)


def _parts(definition) -> tuple[str, int, bool, bool]:
    """rosbags' definition of a field as (type name, size or bound, is it an array or sequence, is it of fixed size)."""
    from rosbags.interfaces import Nodetype

    kind, content = definition
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        element, size = content
        return _parts(element)[0], size, True, kind == Nodetype.ARRAY
    return (content if kind == Nodetype.NAME else content[0]), 0, False, False


def _members(name: str, fields, support_of) -> Any:
    """Introspection: what the middleware's own type discovery reads. There is no C struct behind it, so no offsets."""
    members = (_Member * len(fields))()
    for member, (field_name, definition) in zip(members, fields):
        type_name, size, is_array, is_fixed = _parts(definition)
        member.name = field_name.encode()
        member.type_id = _TYPE_IDS.get(type_name, _NESTED_IDS)[0]
        member.is_array, member.array_size, member.is_upper_bound = is_array, size, bool(size) and not is_fixed
        if type_name not in _TYPE_IDS:
            nested = _specific(support_of(type_name), b"rosidl_typesupport_introspection_c")
            member.members = ctypes.addressof(nested)
    package, folder, message = name.split("/")
    return _Members(f"{package}__{folder}".encode(), message.encode(), len(fields), 0, False, members)


def _individual_description(name: str, fields) -> Any:
    described = []
    for field_name, definition in fields:
        type_name, size, is_array, is_fixed = _parts(definition)
        type_id = _TYPE_IDS.get(type_name, _NESTED_IDS)[1]
        if is_array:
            type_id += _FIXED if is_fixed else _BOUNDED if size else _UNBOUNDED
        nested = "" if type_name in _TYPE_IDS else type_name
        described.append(_Field(_string(field_name), _FieldType(type_id, size, 0, _string(nested)), _string("")))
    return _IndividualDescription(_string(name), _sequence(_Field, described))


def _description(name: str, store) -> Any:
    """What `ros2 topic` and recorders ask a node for: the type's fields, and those of every type in it, sorted."""
    nested: set[str] = set()
    pending = [name]
    while pending:
        found = {_parts(definition)[0] for _, definition in store.fielddefs[pending.pop()][1]} - _TYPE_IDS.keys()
        pending += found - nested
        nested |= found
    individual = {n: _individual_description(n, store.fielddefs[n][1]) for n in [name, *sorted(nested)]}
    referenced = [individual[n] for n in sorted(nested)]
    return _Description(individual[name], _sequence(_IndividualDescription, referenced))


_SERIALISED_ONLY = (
    "this message type was made at run time and moves serialised messages only: publish bytes from "
    "fourdhands_ros.convert.encoders, subscribe with fourdhands_ros.pypi.message_types.create_subscription"
)


def _refuse_construction(*_):
    raise TypeError(_SERIALISED_ONLY)


def _refuse_conversion():
    """Called by rclpy for a C message: say why there is none; the null pointer becomes a MemoryError in Python."""
    get_logger("fourdhands_ros").error(_SERIALISED_ONLY)
    return None


@functools.cache
def _runtime_type(name: str) -> type:
    """A message type made from its definition in `typestore()`, such as "fourdhands_ros/msg/HandPair".

    Raises DependencyError where the middleware is not Fast DDS: others look into the C struct, which is not there.
    """
    middleware = get_rmw_implementation_identifier()
    if middleware != "rmw_fastrtps_cpp":
        raise DependencyError(
            f"{name} is not compiled, which {middleware} needs; build this package with colcon and "
            "source the workspace, or set RMW_IMPLEMENTATION=rmw_fastrtps_cpp"
        )
    store = typestore()
    constants, fields = store.fielddefs[name]
    package, folder, message = name.split("/")

    general = _TypeSupport.from_buffer_copy(_type_support(_compiled_type(_DONOR)))
    members = _members(name, fields, lambda nested: _type_support(message_type(nested)))
    specific = {}
    for identifier in (b"rosidl_typesupport_introspection_c", b"rosidl_typesupport_fastrtps_c"):
        donor = _specific(general, identifier)
        data = members
        if identifier == b"rosidl_typesupport_fastrtps_c":
            data = callbacks = _Callbacks.from_buffer_copy(_Callbacks.from_address(donor.data))
            callbacks.namespace, callbacks.name = f"{package}::{folder}".encode(), message.encode()
        specific[identifier] = _TypeSupport.from_buffer_copy(donor)
        specific[identifier].data = ctypes.addressof(data)
        _alive.append(data)

    digest = bytes.fromhex(store.hash_rihs01(name).removeprefix("RIHS01_"))
    answers = (_TypeHash(1, (c_uint8 * 32)(*digest)), _description(name, store), _sequence(_TypeSource, []))
    getters = [_Getter(lambda _, address=ctypes.addressof(answer): address) for answer in answers]
    addresses = {identifier: ctypes.addressof(support) for identifier, support in specific.items()}
    dispatch = _Dispatch(lambda _, identifier: addresses.get(identifier))
    for support in (general, *specific.values()):
        support.get_type_hash, support.get_type_description, support.get_type_description_sources = (
            ctypes.cast(getter, c_void_p) for getter in getters
        )
    general.func = ctypes.cast(dispatch, c_void_p)
    refuse = _Create(_refuse_conversion)
    _alive.extend([general, specific, answers, getters, dispatch, refuse])

    made = "_CREATE_ROS_MESSAGE", "_CONVERT_FROM_PY", "_CONVERT_TO_PY", "_DESTROY_ROS_MESSAGE"
    of_rosidl = dict.fromkeys(made, pythonapi.PyCapsule_New(ctypes.cast(refuse, c_void_p), None, None))
    of_rosidl["_TYPE_SUPPORT"] = pythonapi.PyCapsule_New(ctypes.addressof(general), None, None)
    attributes: dict[str, Any] = {constant: value for constant, _, value in constants}
    attributes |= {"__init__": _refuse_construction, "__module__": f"{package}.{folder}", "_runtime_name": name}
    attributes["__doc__"] = f"{name}, made at run time: for serialised messages."
    return type(f"Metaclass_{message}", (type,), of_rosidl)(message, (), attributes)


def message_type(name: str) -> Any:
    """The type of a message by its full name: the compiled one where it imports, else one made at run time."""
    try:
        return _compiled_type(name)
    except (ImportError, AttributeError):
        return _runtime_type(name)


Hand = message_type("fourdhands_ros/msg/Hand")
HandPair = message_type("fourdhands_ros/msg/HandPair")
HandFaces = message_type("fourdhands_ros/msg/HandFaces")
TFMessage = message_type("tf2_msgs/msg/TFMessage")
