"""Others' views of jobs: TensorBoard's event files, MLflow's runs. Each is written by a process of its own."""
