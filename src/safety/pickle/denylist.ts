/**
 * What no pickle of a model has a use for and an attacker has: whole modules that reach the system, the network, files,
 * code or other modules, and single names of modules that are harmless otherwise. A name that is on neither list is
 * not harmless: it is unknown (see `policy.ts`). Collected from Python's documentation and from the gadgets that
 * scanners of pickles and their bypasses have made known.
 */

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** With all that lies below them. */
export const deniedModules: ReadonlySet<string> = new Set(
  words(`
    os posix nt posixpath ntpath nturl2path sys _posixsubprocess subprocess commands popen2 pty tty termios fcntl
    resource signal _signal shutil pathlib glob fileinput tempfile mmap msvcrt winreg _winreg _winapi
    socket _socket ssl _ssl select selectors socketserver SocketServer asyncio asyncore asynchat http httplib urllib
    urllib2 urllib3 requests aiohttp httpx ftplib smtplib smtpd poplib imaplib nntplib telnetlib xmlrpc xmlrpclib
    webbrowser wsgiref cgi paramiko pexpect fabric fsspec smart_open boto3 botocore
    psutil sh plumbum pipes mailcap _osx_support _aix_support posixfile dl rexec ihooks new
    pickle _pickle cPickle cpickle pickletools marshal shelve dill cloudpickle copyreg copy_reg _compat_pickle dbm anydbm
    sqlite3 _sqlite3 jsonpickle yaml srsly mlflow jinja2 numexpr pyximport Cython cython
    numba.core.serialize attr._make sympy.core.sympify sympy.parsing
    runpy importlib _frozen_importlib _frozen_importlib_external imp _imp pkgutil modulefinder zipimport zipapp site
    _sitebuiltins sysconfig distutils setuptools pip ensurepip venv pkg_resources
    code codeop _codecs codecs dis py_compile compileall pdb bdb trace cProfile profile pstats timeit doctest unittest
    test.support idlelib lib2to3 pydoc pydoc_data inspect ast symtable antigravity this turtle tkinter Tkinter curses readline
    rlcompleter cmd _pyrepl ptpython linecache _lsprof hotshot
    ctypes _ctypes cffi _cffi_backend multiprocessing _multiprocessing concurrent threading _thread thread
    _xxsubinterpreters _interpreters interpreters _testcapi _testinternalcapi sched atexit faulthandler gc weakref platform getpass pwd grp crypt spwd
    functools _functools operator _operator
    zipfile tarfile gzip bz2 lzma io _io _pyio StringIO cStringIO
    logging.config logging.handlers
    nltk.data nltk.downloader IPython jupyter notebook pytest _pytest nose py execnet
    numpy.f2py numpy.distutils numpy.testing numpy.ctypeslib numpy.lib.npyio numpy.lib._npyio_impl numpy.lib._datasource
    numpy.compat numpy.lib.utils numpy.lib._utils_impl
    scipy.io scipy.weave scipy._lib._ccallback scipy.datasets
    pandas.io pandas.core.computation pandas.util._decorators pandas.compat.pickle_compat
    joblib.externals joblib.memory joblib.parallel joblib._parallel_backends joblib.func_inspect joblib.pool
    sklearn.externals sklearn.utils._testing sklearn.utils.fixes
    torch.hub torch.jit torch.package torch.utils torch.distributed torch.multiprocessing torch._inductor torch._dynamo
    torch.fx torch.onnx torch.ops torch.classes torch._ops torch._classes torch.serialization torch.compiler torch._C
    tensorflow.python.framework.load_library tensorflow.python.platform
  `),
);

/** Single names, by module. */
export const deniedNames: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries({
    builtins: `eval exec execfile compile getattr setattr delattr hasattr open file __import__ input raw_input breakpoint
      globals locals vars dir help exit quit apply reload intern map filter type super classmethod staticmethod property
      callable memoryview print copyright credits license __build_class__ __loader__ __spec__ __dict__`,
    types: `CodeType FunctionType LambdaType MethodType ModuleType BuiltinFunctionType GeneratorType CoroutineType
      DynamicClassAttribute new_class prepare_class resolve_bases coroutine`,
    collections: `_sys _eq _iskeyword namedtuple`,
    numpy: `load loads save savez savez_compressed savetxt loadtxt genfromtxt fromfile fromregex tofile memmap
      vectorize frompyfunc apply_along_axis apply_over_axes piecewise fromfunction DataSource lookfor source info
      safe_eval deprecate test show_config`,
    'numpy.core': '_ufunc_reconstruct _ufunc_reduce',
    'numpy.core.memmap': 'memmap',
    'numpy.core.records': 'fromfile',
    'numpy.core.multiarray': 'fromfile set_typeDict set_string_function',
    'numpy.core._multiarray_umath': 'fromfile',
    'numpy.lib.format': 'open_memmap read_array read_array_header_1_0 write_array',
    'numpy.lib.function_base': 'vectorize piecewise',
    'numpy.lib._function_base_impl': 'vectorize piecewise',
    'numpy.lib.shape_base': 'apply_along_axis apply_over_axes',
    'numpy.ma.core': '_frommethod fromfile',
    pandas: `eval read_pickle to_pickle read_csv read_table read_fwf read_json read_html read_xml read_excel read_hdf
      read_sql read_sql_query read_sql_table read_parquet read_feather read_orc read_stata read_sas read_spss
      read_clipboard read_gbq ExcelFile HDFStore ExcelWriter`,
    joblib: 'load dump Memory Parallel delayed wrap_non_picklable_objects hash',
    'joblib.numpy_pickle': 'load dump _unpickle load_temporary_memmap NumpyUnpickler NumpyPickler',
    'joblib.numpy_pickle_compat': 'load_compatibility read_zfile ZipNumpyUnpickler',
    torch: `load save compile hub jit package multiprocessing utils distributed ops classes import_ir_module
      _import_dotted_name`,
    'torch._utils': '_import_dotted_name',
    'torch.storage': '_load_from_bytes',
    'torch.nn.parallel': 'data_parallel',
    'logging.config': 'listen fileConfig dictConfig',
    site: 'main',
    logging: 'FileHandler',
    uuid: '_get_command_stdout _popen',
    argparse: 'FileType',
    gettext: 'c2py',
    typing: 'get_type_hints',
    dataclasses: 'make_dataclass _create_fn',
    itertools: 'starmap',
    sympy: 'sympify',
    tensorflow: 'load_library load_op_library',
    'keras.models': 'load_model',
    'keras.layers': 'Lambda',
    'werkzeug.utils': 'import_string',
    'django.utils.module_loading': 'import_string',
  }).map(([module, names]) => [module, new Set(words(names))]),
);

/**
 * Names within denied modules that are not denied: those that real models use are on the allowlist, too; those of
 * TorchScript are not, since what they stand beside is code.
 */
export const exempt: ReadonlySet<string> = new Set(
  words(`
    sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper
    _codecs.encode copyreg._reconstructor copyreg.__newobj__ copyreg.__newobj_ex__ torch.serialization._get_layout
    torch.jit._pickle.build_intlist torch.jit._pickle.build_doublelist torch.jit._pickle.build_boollist
    torch.jit._pickle.build_tensorlist torch.jit._pickle.build_tensor_from_id torch.jit._pickle.restore_type_tag
  `),
);

/**
 * Modules that others import, so that they can be had as a name of those (`logging.os`); in a dotted name with or
 * without the underscore that hides them.
 */
export const hiddenModules: ReadonlySet<string> = new Set(
  words(`os posix nt sys subprocess builtins importlib socket shutil ctypes runpy pty pickle marshal operator functools
    io codecs pkgutil inspect tempfile threading multiprocessing`),
);
