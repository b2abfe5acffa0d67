// One pipeline for every environment: it reads and writes the branches of that name, with the code's version there.
function(env, version) {
  pipeline: { name: 'stars-' + env },
  description: 'Mean stars of each file of reviews, in ' + env + '.',
  transform: {
    image: 'airflow-pachy-environments:' + version,
    cmd: ['python3', 'stars.py'],
    working_dir: '/code',
  },
  input: { pfs: { repo: 'reviews', branch: env, glob: '/*.txt' } },
  output_repo: 'stars',
  output_branch: env,
  // Another version of the code processes everything again, there and only there.
  code_version: version,
}
