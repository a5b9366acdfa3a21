/**
 * The names that real models' pickles look up, each with its module and in full: a prefix is no licence, since most
 * trusted packages hold something that runs code. Classes and functions here may be called with any arguments without
 * importing, opening or evaluating anything; what else stands in a pickle as an argument has been judged by itself.
 */
import { sklearnGlobals } from './allowlist.sklearn.ts';

/** Python, NumPy, SciPy, joblib, LightGBM, XGBoost: one module a line (or several), then its names. */
const commonGlobals = `
builtins: set frozenset list dict tuple int float complex bool str bytes bytearray slice range object
builtins: Exception ValueError TypeError KeyError RuntimeError
_codecs: encode
copyreg: _reconstructor __newobj__ __newobj_ex__
collections: OrderedDict defaultdict Counter deque
datetime: datetime date time timedelta timezone
decimal: Decimal
fractions: Fraction
uuid: UUID
numpy: dtype ndarray matrix record recarray bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64
numpy: float16 float32 float64 float128 longdouble complex64 complex128 clongdouble str_ bytes_ void object_
numpy: datetime64 timedelta64 intc intp uintp int_ uint byte short longlong ubyte ushort ulonglong single double
numpy.dtypes: BoolDType Int8DType UInt8DType Int16DType UInt16DType Int32DType UInt32DType Int64DType UInt64DType
numpy.dtypes: Float16DType Float32DType Float64DType Complex64DType Complex128DType ObjectDType StrDType VoidDType
numpy.dtypes: StringDType BytesDType DateTime64DType TimeDelta64DType LongLongDType ULongLongDType
numpy.core.multiarray: _reconstruct scalar
numpy.core.numeric: _frombuffer
numpy.core._internal: _convert_to_stringdtype_kwargs
numpy.rec: recarray
numpy.core.records: recarray record
numpy.ma: MaskedArray
numpy.ma.core: MaskedArray _mareconstruct
numpy.matrixlib.defmatrix: matrix
numpy.random: __RandomState_ctor
numpy.random.mtrand: RandomState __randomstate_ctor
numpy.random._generator: Generator
numpy.random._mt19937: MT19937
numpy.random._pcg64: PCG64 PCG64DXSM
numpy.random._philox: Philox
numpy.random._sfc64: SFC64
numpy.random._pickle: __randomstate_ctor __generator_ctor __bit_generator_ctor
numpy.random.bit_generator: SeedSequence __pyx_unpickle_SeedSequence
scipy.sparse: csr_matrix csc_matrix coo_matrix bsr_matrix dia_matrix dok_matrix lil_matrix
scipy.sparse._csr: csr_matrix csr_array
scipy.sparse._csc: csc_matrix csc_array
scipy.sparse._coo: coo_matrix coo_array
scipy.sparse._bsr: bsr_matrix bsr_array
scipy.sparse._dia: dia_matrix dia_array
scipy.sparse._dok: dok_matrix dok_array
scipy.sparse._lil: lil_matrix lil_array
scipy.sparse.csr: csr_matrix
scipy.sparse.csc: csc_matrix
scipy.sparse.coo: coo_matrix
scipy.sparse.bsr: bsr_matrix
scipy.sparse.dia: dia_matrix
scipy.sparse.dok: dok_matrix
scipy.sparse.lil: lil_matrix
scipy.interpolate._bsplines: BSpline
scipy.interpolate._interpolate: interp1d
scipy.interpolate.interpolate: interp1d
joblib.numpy_pickle: NumpyArrayWrapper
lightgbm.sklearn: LGBMModel LGBMClassifier LGBMRegressor LGBMRanker
lightgbm.sklearn: _ObjectiveFunctionWrapper _EvalFunctionWrapper
xgboost.sklearn: XGBModel XGBClassifier XGBRegressor XGBRanker XGBRFClassifier XGBRFRegressor
xgboost.compat: XGBoostLabelEncoder
`;

/**
 * Functions that estimators hold by name, and classes that would open files if they were called: they are made without
 * a call.
 */
const namedGlobals = `
numpy: abs absolute add arccos arcsin arctan ceil cbrt cos cosh deg2rad divide exp exp2 expm1 fabs floor hypot
numpy: isfinite isinf isnan log log10 log1p log2 logaddexp logical_not maximum minimum multiply negative positive
numpy: power rad2deg reciprocal rint sign sin sinh sqrt square subtract tan tanh true_divide trunc
numpy: mean median sum std var min max amin amax argmin argmax average nanmean nanmedian ravel nan_to_num
numpy.core._multiarray_umath: absolute add cbrt ceil cos divide exp exp2 expm1 floor log log10 log1p log2 maximum
numpy.core._multiarray_umath: minimum multiply negative power reciprocal sign sin sqrt square subtract tan tanh
numpy.core.fromnumeric: mean sum amin amax
scipy.special._ufuncs: expit logit
scipy._lib.array_api_compat.numpy._aliases: asarray
lightgbm.basic: Booster
xgboost.core: Booster
`;

/** Tables within estimators (the names of features, mostly). */
const pandasGlobals = `
pandas: DataFrame Series Index RangeIndex MultiIndex DatetimeIndex TimedeltaIndex PeriodIndex CategoricalIndex
pandas: IntervalIndex Categorical CategoricalDtype StringDtype DatetimeTZDtype Int8Dtype Int16Dtype Int32Dtype
pandas: Int64Dtype UInt8Dtype UInt16Dtype UInt32Dtype UInt64Dtype Float32Dtype Float64Dtype BooleanDtype Timestamp
pandas: Timedelta
pandas.arrays: DatetimeArray TimedeltaArray PeriodArray StringArray IntegerArray FloatingArray BooleanArray
pandas.core.frame: DataFrame
pandas.core.series: Series
pandas.core.indexes.base: Index _new_Index
pandas.core.indexes.range: RangeIndex
pandas.core.indexes.multi: MultiIndex
pandas.core.indexes.numeric: Int64Index UInt64Index Float64Index
pandas.core.indexes.datetimes: DatetimeIndex _new_DatetimeIndex
pandas.core.indexes.category: CategoricalIndex
pandas.core.indexes.frozen: FrozenList
pandas.core.internals.managers: BlockManager SingleBlockManager
pandas.core.internals.blocks: new_block
pandas.core.dtypes.dtypes: CategoricalDtype
pandas.core.arrays.categorical: Categorical
pandas.core.arrays.datetimes: DatetimeArray
pandas.core.arrays.string_: StringArray StringDtype
pandas._libs.internals: _unpickle_block
pandas._libs.arrays: __pyx_unpickle_NDArrayBacked
pandas._libs.tslibs.timestamps: _unpickle_timestamp
`;

/** State dicts: what PyTorch 2.14 itself loads with `weights_only`. */
const torchGlobals = `
torch: BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage ComplexFloatStorage DoubleStorage
torch: FloatStorage HalfStorage IntStorage LongStorage QInt32Storage QInt8Storage QUInt2x4Storage QUInt4x2Storage
torch: QUInt8Storage ShortStorage BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor
torch: IntTensor LongTensor ShortTensor Size Tensor device bfloat16 bool complex32 complex64 complex128 float16
torch: float32 float64 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2
torch: int8 int16 int32 int64 uint8 uint16 uint32 uint64 int1 int2 int3 int4 int5 int6 int7 uint1 uint2 uint3 uint4
torch: uint5 uint6 uint7 bits8 bits16 bits1x8 bits2x4 bits4x2 qint8 qint32 quint8 quint2x4 quint4x2
torch: per_channel_affine per_channel_affine_float_qparams per_channel_symmetric per_tensor_affine
torch: per_tensor_symmetric
torch.cuda: BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage ComplexFloatStorage DoubleStorage
torch.cuda: FloatStorage HalfStorage IntStorage LongStorage ShortStorage
torch.storage: TypedStorage UntypedStorage
torch.nn.parameter: Parameter Buffer UninitializedParameter
torch.serialization: _get_layout
torch._tensor: Tensor _rebuild_from_type_v2
torch._utils: _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter _rebuild_parameter_with_state
torch._utils: _rebuild_qtensor _rebuild_sparse_tensor _rebuild_sparse_csr_tensor _rebuild_meta_tensor_no_storage
torch._utils: _rebuild_nested_tensor _rebuild_wrapper_subclass _rebuild_device_tensor_from_numpy
torch._utils: _rebuild_device_tensor_from_cpu_tensor
`;

function read(text: string): Set<string> {
  const found = new Set<string>();
  for (const line of text.trim().split('\n')) {
    const colon = line.indexOf(':');
    const module = line.slice(0, colon);
    for (const name of line
      .slice(colon + 1)
      .trim()
      .split(/\s+/))
      found.add(`${module} ${name}`);
  }
  return found;
}

/** Module and name with a space between, which no name has: `a.b` and `c` are not `a` and `b.c`. */
export const allowed: ReadonlySet<string> = new Set([
  ...read(commonGlobals),
  ...read(namedGlobals),
  ...read(pandasGlobals),
  ...read(torchGlobals),
  ...read(sklearnGlobals),
]);

/** scikit-learn's functions, by the way they are written; what its compiled classes are made by is called. */
const sklearnFunctions = [...read(sklearnGlobals)].filter(
  (full) => / _?[a-z]/.test(full) && !full.endsWith(' newObj'),
);

/** Allowed names that no pickle of a model calls. */
export const neverCalled: ReadonlySet<string> = new Set([...read(namedGlobals), ...sklearnFunctions]);
