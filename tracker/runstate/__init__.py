"""What turns a run's records into what the run is: pure, without files, databases or clocks."""
