"""What every other room stands on: errors and checks, words, linear algebra, threads, whole files, the codec."""
