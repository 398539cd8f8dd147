"""`python -m resnet_lab`: the same command line as `resnet-lab`."""

from resnet_lab.cli.main import main

if __name__ == "__main__":
    main()
