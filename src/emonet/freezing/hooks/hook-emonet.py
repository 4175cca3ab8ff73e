"""What PyInstaller puts into a program that imports emonet: bundled models and all plugins."""

from PyInstaller.utils.hooks import collect_data_files, collect_entry_point, collect_submodules

# The metadata of each package with plugins, without which emonet would not find them.
datas, plugins = collect_entry_point("emonet")
datas += collect_data_files("emonet")
hiddenimports = []
for plugin in plugins:
    datas += collect_data_files(plugin)
    hiddenimports += collect_submodules(plugin)
