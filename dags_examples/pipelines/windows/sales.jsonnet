// A day's sales are one file, /<month>/<day>.csv. What a window is, is said by globs and by the names of directories.
local pipeline(name, step, input, days="") = {
  pipeline: { name: name },
  input: { pfs: input },
  transform: {
    image: 'airflow-pachy-windows:local',
    cmd: ['python3', 'windows.py', step],
    [if days != '' then 'env']: { DAYS: days },
  },
  // What was processed stays processed, also with other settings: a window of another length has to be another version.
  [if days != '' then 'code_version']: days + ' days',
};

function(days='3') [
  // Fixed windows: a month is a directory, and a directory is a datum.
  pipeline('sales_months', 'months', { repo: 'sales', glob: '/*' }),
  // Rolling windows, first pipeline: each day is linked into the windows that it belongs to. With empty_files no content is
  // downloaded, and links to inputs are stored as references, so this moves names and no data.
  pipeline('sales_bins', 'bins', { repo: 'sales', glob: '/*/*', empty_files: true }, days),
  // Second pipeline: each window is a datum.
  pipeline('sales_rolling', 'rolling', { repo: 'sales_bins', glob: '/*' }, days),
  // A moving window: only the last days, replaced whenever there is a new one.
  pipeline('sales_last', 'last', { repo: 'sales', glob: '/', empty_files: true }, days),
  pipeline('sales_trend', 'trend', { repo: 'sales_last', glob: '/' }),
]
