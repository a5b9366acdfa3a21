/** Names that mean the same: Python 2's in Python 3, and where libraries have moved what they pickle. */

function pairs(text: string): ReadonlyMap<string, string> {
  return new Map(
    text
      .trim()
      .split(/\s+/)
      .map((pair) => {
        const at = pair.indexOf('=');
        return [pair.slice(0, at), pair.slice(at + 1)] as const;
      }),
  );
}

/** Modules that an unpickler renames below protocol 3 (CPython: Lib/_compat_pickle.py, IMPORT_MAPPING). */
const python2Modules = pairs(`
__builtin__=builtins copy_reg=copyreg Queue=queue SocketServer=socketserver ConfigParser=configparser
repr=reprlib tkFileDialog=tkinter.filedialog tkSimpleDialog=tkinter.simpledialog
tkColorChooser=tkinter.colorchooser tkCommonDialog=tkinter.commondialog Dialog=tkinter.dialog
Tkdnd=tkinter.dnd tkFont=tkinter.font tkMessageBox=tkinter.messagebox ScrolledText=tkinter.scrolledtext
Tkconstants=tkinter.constants Tix=tkinter.tix ttk=tkinter.ttk Tkinter=tkinter markupbase=_markupbase
_winreg=winreg thread=_thread dummy_thread=_dummy_thread dbhash=dbm.bsd dumbdbm=dbm.dumb dbm=dbm.ndbm
gdbm=dbm.gnu xmlrpclib=xmlrpc.client SimpleXMLRPCServer=xmlrpc.server httplib=http.client
htmlentitydefs=html.entities HTMLParser=html.parser Cookie=http.cookies cookielib=http.cookiejar
BaseHTTPServer=http.server test.test_support=test.support commands=subprocess urlparse=urllib.parse
robotparser=urllib.robotparser urllib2=urllib.request anydbm=dbm _abcoll=collections.abc cPickle=pickle
_elementtree=xml.etree.ElementTree FileDialog=tkinter.filedialog SimpleDialog=tkinter.simpledialog
DocXMLRPCServer=xmlrpc.server SimpleHTTPServer=http.server CGIHTTPServer=http.server UserDict=collections
UserList=collections UserString=collections whichdb=dbm StringIO=io cStringIO=io
`);

/** Names that it renames, before it looks at modules (NAME_MAPPING without the exceptions). */
const python2Names = pairs(`
__builtin__.xrange=builtins.range __builtin__.reduce=functools.reduce __builtin__.intern=sys.intern
__builtin__.unichr=builtins.chr __builtin__.unicode=builtins.str __builtin__.long=builtins.int
__builtin__.basestring=builtins.str itertools.izip=builtins.zip itertools.imap=builtins.map
itertools.ifilter=builtins.filter itertools.ifilterfalse=itertools.filterfalse
itertools.izip_longest=itertools.zip_longest UserDict.IterableUserDict=collections.UserDict
UserDict.UserDict=collections.UserDict UserList.UserList=collections.UserList
UserString.UserString=collections.UserString whichdb.whichdb=dbm.whichdb _socket.fromfd=socket.fromfd
socket._socketobject=socket.SocketType _multiprocessing.Connection=multiprocessing.connection.Connection
multiprocessing.process.Process=multiprocessing.context.Process
multiprocessing.forking.Popen=multiprocessing.popen_fork.Popen
`);

/** scikit-learn before 0.22, and joblib when it lay within it. */
const movedModules = pairs(`
sklearn.externals.joblib.numpy_pickle=joblib.numpy_pickle
sklearn.cluster.affinity_propagation_=sklearn.cluster._affinity_propagation
sklearn.cluster.bicluster=sklearn.cluster._bicluster sklearn.cluster.birch=sklearn.cluster._birch
sklearn.cluster.dbscan_=sklearn.cluster._dbscan sklearn.cluster.hierarchical=sklearn.cluster._agglomerative
sklearn.cluster.k_means_=sklearn.cluster._kmeans sklearn.cluster.mean_shift_=sklearn.cluster._mean_shift
sklearn.cluster.optics_=sklearn.cluster._optics sklearn.cluster.spectral=sklearn.cluster._spectral
sklearn.covariance.elliptic_envelope=sklearn.covariance._elliptic_envelope
sklearn.covariance.empirical_covariance_=sklearn.covariance._empirical_covariance
sklearn.covariance.graph_lasso_=sklearn.covariance._graph_lasso
sklearn.covariance.robust_covariance=sklearn.covariance._robust_covariance
sklearn.covariance.shrunk_covariance_=sklearn.covariance._shrunk_covariance
sklearn.cross_decomposition.cca_=sklearn.cross_decomposition._cca
sklearn.cross_decomposition.pls_=sklearn.cross_decomposition._pls
sklearn.decomposition.dict_learning=sklearn.decomposition._dict_learning
sklearn.decomposition.factor_analysis=sklearn.decomposition._factor_analysis
sklearn.decomposition.fastica_=sklearn.decomposition._fastica
sklearn.decomposition.incremental_pca=sklearn.decomposition._incremental_pca
sklearn.decomposition.kernel_pca=sklearn.decomposition._kernel_pca sklearn.decomposition.nmf=sklearn.decomposition._nmf
sklearn.decomposition.online_lda=sklearn.decomposition._lda sklearn.decomposition.pca=sklearn.decomposition._pca
sklearn.decomposition.sparse_pca=sklearn.decomposition._sparse_pca
sklearn.decomposition.truncated_svd=sklearn.decomposition._truncated_svd
sklearn.ensemble.bagging=sklearn.ensemble._bagging sklearn.ensemble.forest=sklearn.ensemble._forest
sklearn.ensemble.gradient_boosting=sklearn.ensemble._gb sklearn.ensemble.iforest=sklearn.ensemble._iforest
sklearn.ensemble.voting=sklearn.ensemble._voting sklearn.ensemble.voting_classifier=sklearn.ensemble._voting
sklearn.ensemble.weight_boosting=sklearn.ensemble._weight_boosting
sklearn.feature_extraction.dict_vectorizer=sklearn.feature_extraction._dict_vectorizer
sklearn.feature_extraction.hashing=sklearn.feature_extraction._hash
sklearn.feature_selection.from_model=sklearn.feature_selection._from_model
sklearn.feature_selection.mutual_info_=sklearn.feature_selection._mutual_info
sklearn.feature_selection.rfe=sklearn.feature_selection._rfe
sklearn.feature_selection.univariate_selection=sklearn.feature_selection._univariate_selection
sklearn.feature_selection.variance_threshold=sklearn.feature_selection._variance_threshold
sklearn.gaussian_process.gpc=sklearn.gaussian_process._gpc sklearn.gaussian_process.gpr=sklearn.gaussian_process._gpr
sklearn.impute=sklearn.impute._base sklearn.linear_model.base=sklearn.linear_model._base
sklearn.linear_model.bayes=sklearn.linear_model._bayes
sklearn.linear_model.coordinate_descent=sklearn.linear_model._coordinate_descent
sklearn.linear_model.huber=sklearn.linear_model._huber sklearn.linear_model.least_angle=sklearn.linear_model._least_angle
sklearn.linear_model.logistic=sklearn.linear_model._logistic sklearn.linear_model.omp=sklearn.linear_model._omp
sklearn.linear_model.passive_aggressive=sklearn.linear_model._passive_aggressive
sklearn.linear_model.perceptron=sklearn.linear_model._perceptron
sklearn.linear_model.randomized_l1=sklearn.linear_model._randomized_l1
sklearn.linear_model.ransac=sklearn.linear_model._ransac sklearn.linear_model.ridge=sklearn.linear_model._ridge
sklearn.linear_model.sgd_fast=sklearn.linear_model._sgd_fast
sklearn.linear_model.stochastic_gradient=sklearn.linear_model._stochastic_gradient
sklearn.linear_model.theil_sen=sklearn.linear_model._theil_sen sklearn.manifold.isomap=sklearn.manifold._isomap
sklearn.manifold.locally_linear=sklearn.manifold._locally_linear sklearn.manifold.mds=sklearn.manifold._mds
sklearn.manifold.spectral_embedding_=sklearn.manifold._spectral_embedding sklearn.manifold.t_sne=sklearn.manifold._t_sne
sklearn.metrics.classification=sklearn.metrics._classification sklearn.metrics.ranking=sklearn.metrics._ranking
sklearn.metrics.regression=sklearn.metrics._regression sklearn.metrics.scorer=sklearn.metrics._scorer
sklearn.mixture.bayesian_mixture=sklearn.mixture._bayesian_mixture
sklearn.mixture.gaussian_mixture=sklearn.mixture._gaussian_mixture
sklearn.neighbors.ball_tree=sklearn.neighbors._ball_tree sklearn.neighbors.classification=sklearn.neighbors._classification
sklearn.neighbors.dist_metrics=sklearn.neighbors._dist_metrics sklearn.neighbors.kd_tree=sklearn.neighbors._kd_tree
sklearn.neighbors.kde=sklearn.neighbors._kde sklearn.neighbors.lof=sklearn.neighbors._lof
sklearn.neighbors.nca=sklearn.neighbors._nca sklearn.neighbors.nearest_centroid=sklearn.neighbors._nearest_centroid
sklearn.neighbors.regression=sklearn.neighbors._regression sklearn.neighbors.unsupervised=sklearn.neighbors._unsupervised
sklearn.neural_network.multilayer_perceptron=sklearn.neural_network._multilayer_perceptron
sklearn.neural_network.rbm=sklearn.neural_network._rbm sklearn.preprocessing.data=sklearn.preprocessing._data
sklearn.preprocessing.imputation=sklearn.preprocessing._imputation sklearn.preprocessing.label=sklearn.preprocessing._label
sklearn.semi_supervised.label_propagation=sklearn.semi_supervised._label_propagation
sklearn.svm.classes=sklearn.svm._classes sklearn.tree.tree=sklearn.tree._classes
`);

export interface QualifiedName {
  readonly module: string;
  /** With dots where it lies within another name of the module. */
  readonly name: string;
}

/** What Python 3 makes of a name in a pickle of a protocol below 3 (`fix_imports`, which is on unless turned off). */
export function fixImports({ module, name }: QualifiedName): QualifiedName {
  const renamed = python2Names.get(`${module}.${name}`);
  if (renamed !== undefined) {
    const dot = renamed.lastIndexOf('.');
    return { module: renamed.slice(0, dot), name: renamed.slice(dot + 1) };
  }
  // All that Python 2 called an exception is a built-in of Python 3.
  if (module === 'exceptions') return { module: 'builtins', name };
  return { module: python2Modules.get(module) ?? module, name };
}

/** The module under the name that the allowlist has it by. */
export function currentModule(module: string): string {
  // NumPy 2 writes `numpy._core` where NumPy 1 wrote `numpy.core`.
  if (module === 'numpy._core' || module.startsWith('numpy._core.')) {
    return `numpy.core${module.slice('numpy._core'.length)}`;
  }
  return movedModules.get(module) ?? module;
}
