/** Names: what is on the lists, and that the lists do not contradict each other. */
import { describe, expect, test } from 'vitest';
import { allowed } from '#src/safety/pickle/allowlist.ts';
import { judge } from '#src/safety/pickle/policy.ts';

const named = (full: string) => {
  const [module = '', name = ''] = full.split(' ');
  return { module, name };
};

test('every allowed name is allowed, and none of them denied', () => {
  expect(allowed.size).toBeGreaterThan(700);
  const others = [...allowed].filter((full) => judge(named(full), 4) !== 'allowed');
  expect(others).toEqual([]);
});

test('no allowed name has an empty part or a stray character', () => {
  expect([...allowed].filter((full) => !/^[\w.]+ \w+$/.test(full))).toEqual([]);
});

describe('denied', () => {
  test.each([
    'os system',
    'os.path join',
    'posix popen',
    'subprocess check_output',
    'sys modules',
    'socket socket',
    'shutil rmtree',
    'runpy _run_code',
    'ctypes CDLL',
    'pickle loads',
    'pip main',
    'pty spawn',
    'pdb run',
    'asyncio.base_subprocess BaseSubprocessTransport',
    'importlib.machinery SourceFileLoader',
    'builtins eval',
    'builtins open',
    'builtins getattr',
    'builtins __import__',
    'operator attrgetter',
    '_operator methodcaller',
    'functools partial',
    'functools reduce',
    'types FunctionType',
    'pkgutil resolve_name',
    'numpy fromfile',
    'numpy.core _ufunc_reconstruct',
    'numpy._core _ufunc_reconstruct',
    'numpy.f2py.crackfortran getlincoef',
    'numpy.testing._private.utils runstring',
    'torch load',
    'torch.hub load',
    'torch.serialization load',
    'torch._utils _import_dotted_name',
    'torch.storage _load_from_bytes',
    'joblib.numpy_pickle load',
    'joblib.externals.cloudpickle.cloudpickle _make_function',
    'sklearn.externals joblib',
    'pandas read_pickle',
    'pandas.io.pickle read_pickle',
    'cloudpickle.cloudpickle _builtin_type',
    'dill._dill _load_type',
    'copyreg add_extension',
    'zipimport zipimporter',
    'webbrowser open',
    'code InteractiveInterpreter',
    'timeit timeit',
    'logging os',
    'logging FileHandler',
    'uuid _get_command_stdout',
    'torch._dynamo.guards GuardBuilder.get',
    'cProfile runctx',
    '_io FileIO',
    'numpy.testing runstring',
    'multiprocessing.util spawnv_passfds',
    'jinja2.environment Environment',
    'random _os.system',
    'unittest.mock _importer',
    'my.module f.__globals__',
    'collections OrderedDict.__init__.__globals__',
  ])('%s', (full) => {
    expect(judge(named(full), 4)).toBe('denied');
    expect(judge(named(full), 2)).toBe('denied');
  });
});

describe('neither denied nor allowed', () => {
  test.each([
    'mycompany.features Encoder',
    'sklearn.datasets fetch_openml',
    'sklearn.svm SVC',
    'sklearn.svm._classes SVC.fit',
    'numpy array2string',
    'builtins len',
    'builtins str.format',
    'torch.nn.modules.linear Linear',
    'joblib.numpy_pickle NDArrayWrapper',
    'scipy.stats._distn_infrastructure rv_frozen',
    '__main__ Model',
    ' ',
  ])('%s', (full) => {
    expect(judge(named(full), 4)).toBe('unknown');
  });
});

test('Python 2’s names are other names at other protocols', () => {
  expect(judge({ module: '__builtin__', name: 'unicode' }, 2)).toBe('allowed');
  expect(judge({ module: '__builtin__', name: 'unicode' }, 3)).toBe('unknown');
  expect(judge({ module: 'copy_reg', name: '_reconstructor' }, 2)).toBe('allowed');
  expect(judge({ module: 'copy_reg', name: 'constructor' }, 2)).toBe('denied');
  expect(judge({ module: 'exceptions', name: 'ValueError' }, 2)).toBe('allowed');
  expect(judge({ module: 'UserDict', name: 'UserDict' }, 2)).toBe('unknown');
});
