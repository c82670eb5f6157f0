"""ExecuTorch's runner in C++: measured without Python, on this machine, on boards and on phones."""
